# How many realisations a source takes, decided after its first stage (only where the campaign says `stop_at`).
checkpoint enough:
    input:
        lambda wildcards: ancient(campaign.decided_by(wildcards.source)),
    output:
        "results/{campaign}/enough/{source}/{key}.json",
    log:
        "results/{campaign}/logs/{source}/{key}.log",
    conda:
        "../../environment.yml"
    params:
        chunks=lambda wildcards: campaign.chunk_folder(wildcards.source),
        stages=lambda wildcards: campaign.staged[wildcards.source].model_dump_json(),
    shell:
        "radsens --log {log} enough {params.chunks} --stages {params.stages:q} --key {wildcards.key} --output {output}"
