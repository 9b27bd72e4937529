# Rows of all spans of a source, concatenated and checked. It is given a folder and a count, never a list of files.
rule gather:
    input:
        lambda wildcards: ancient(campaign.chunks_of(wildcards.source, int(wildcards.n))),
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
        [lambda wildcards, name=name: ancient(campaign.rows(name, checkpoints.enough.get)) for name in campaign.names],
    output:
        campaign.tables,
    log:
        f"{campaign.root}/logs/table-{campaign.id}.log",
    conda:
        "../../environment.yml"
    params:
        id=campaign.id,
        stop=campaign.stop_option,
        folder=lambda wildcards, output: output[0].rpartition("/")[0],
    shell:
        "radsens --log {log} table {params.folder} --write {params.id}{params.stop} {input}"
