from radsens.campaign import Campaign

campaign = Campaign.load(config, workflow.configfiles)


wildcard_constraints:
    campaign="[A-Za-z0-9_-]+",
    source="[A-Za-z0-9_-]+",
    key="[0-9a-f]+",
    span=r"\d+-\d+",
    n=r"\d+",


localrules:
    all,
    gather,
    table,


rule all:
    default_target: True
    input:
        campaign.files,


include: "workflow/rules/scene.smk"
include: "workflow/rules/realise.smk"
include: "workflow/rules/products.smk"
