# The reference image: Stokes vectors, geometry, addresses of the pixels.
rule scene:
    output:
        "results/{campaign}/scene/{key}.nc",
    log:
        "results/{campaign}/logs/scene/{key}.log",
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=campaign.scene_json,
    shell:
        "radsens --log {log} scene {params.spec:q} --key {wildcards.key} --threads {threads} --output {output}"
