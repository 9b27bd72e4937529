# Rows of all spans of a source, concatenated and checked. It is given a folder and a count, never a list of files.
rule gather:
    input:
        lambda wildcards: ancient(campaign.chunks(wildcards.source)),
    output:
        "results/{campaign}/gaps/{source}/{key}-{n}.nc",
    log:
        "results/{campaign}/logs/{source}/{key}-{n}.log",
    conda:
        "../../environment.yml"
    params:
        chunks=lambda wildcards: campaign.chunk_folder(wildcards.source),
        span=campaign.config.span,
    shell:
        "radsens --log {log} gather {params.chunks} --realisations {wildcards.n} --span {params.span} --output {output}"


# The tables have no key in their names; the mark has: it is there as long as they are those of this campaign.
rule table:
    input:
        ancient(campaign.all_gaps),
    output:
        campaign.tables,
    log:
        f"{campaign.root}/logs/table-{campaign.id}.log",
    conda:
        "../../environment.yml"
    params:
        id=campaign.id,
        folder=lambda wildcards, output: output[0].rpartition("/")[0],
    shell:
        "radsens --log {log} table {params.folder} --write {params.id} {input}"
