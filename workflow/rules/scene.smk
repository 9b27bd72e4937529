# The reference image: Stokes vectors, geometry, addresses of the pixels.
rule scene:
    output:
        "results/{campaign}/scene/{key}.nc",
    log:
        "results/{campaign}/logs/scene/{key}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=campaign.scene_json,
    shell:
        "radsens --log {log} scene {params.spec:q} --key {wildcards.key} --output {output}"
