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


# A table of other settings stands: its name has no key, so a marker that does not exist yet makes the table again.
rule outdated:
    output:
        temp(touch("results/{campaign}/.outdated/{key}")),
    log:
        "results/{campaign}/logs/outdated-{key}.log",
    conda:
        "../../environment.yml"
    shell:
        "true"


rule table:
    input:
        gaps=ancient(campaign.all_gaps),
        outdated=f"{campaign.root}/.outdated/{campaign.id}" if campaign.stale else [],
    output:
        campaign.table,
        campaign.summary,
        f"{campaign.root}/control.csv",
        f"{campaign.root}/strata.csv",
    log:
        f"{campaign.root}/logs/table-{campaign.id}.log",
    conda:
        "../../environment.yml"
    params:
        id=campaign.id,
        folder=str(campaign.root),
    shell:
        "radsens --log {log} table {params.folder} --write {params.id} {input.gaps}"
