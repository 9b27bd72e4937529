# One span of realisations of one source. What it is made after has a key in its path, so that its time does not matter.
rule realise:
    input:
        lambda wildcards: ancient(campaign.awaited(wildcards.source, wildcards.span)),
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
        scene=campaign.scene,
        task=lambda wildcards: campaign.task_json(wildcards.source),
    shell:
        "radsens --log {log} realise {wildcards.source} {wildcards.span} --task {params.task:q}"
        " --scene {params.scene} --key {wildcards.key} --threads {threads} --output {output}"
