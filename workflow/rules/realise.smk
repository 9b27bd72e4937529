# One span of realisations of one source. The scene, whose key is in the path, is never newer in a way that matters;
# the control comes before the sources: it proves the model, and its job leaves the compiled kernels to the others.
rule realise:
    input:
        scene=ancient(campaign.scene),
        control=lambda wildcards: ancient(campaign.chunks("control") if wildcards.source != "control" else []),
    output:
        "results/{campaign}/chunks/{source}/{key}/{span}.nc",
    log:
        "results/{campaign}/logs/{source}/{key}/{span}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        task=lambda wildcards: campaign.task_json(wildcards.source),
    shell:
        "radsens --log {log} realise {wildcards.source} {wildcards.span} --task {params.task:q}"
        " --scene {input.scene} --key {wildcards.key} --threads {threads} --output {output}"
