# The kernels, compiled once for all chunks of all nodes. Its key says of which code and settings, not for which processor.
rule warm:
    output:
        "results/{campaign}/warm/{key}.txt",
    log:
        "results/{campaign}/logs/warm/{key}.log",
    conda:
        "../../environment.yml"
    params:
        task=campaign.warm_task.model_dump_json(),
    shell:
        "radsens --log {log} warm {params.task:q} --output {output}"
