from radsens.campaign import Campaign

# A job was submitted with what the profile asks for: only the master looks whether that is complete.
asked = workflow.resource_settings.default_resources if workflow.is_main_process else None
campaign = Campaign.load(config, workflow.configfiles, asked)


wildcard_constraints:
    campaign="[A-Za-z0-9_-]+",
    source="[A-Za-z0-9_-]+",
    key="[0-9a-f]+",
    span=r"\d+-\d+",
    n=r"\d+",


localrules:
    all,
    enough,
    gather,
    table,


rule all:
    default_target: True
    input:
        campaign.begun,
        [lambda wildcards, name=name: campaign.rest(name, checkpoints.enough.get) for name in campaign.names],


include: "workflow/rules/scene.smk"
include: "workflow/rules/warm.smk"
include: "workflow/rules/realise.smk"
include: "workflow/rules/enough.smk"
include: "workflow/rules/products.smk"
