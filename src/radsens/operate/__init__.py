"""What an operator of a campaign asks and does: one file per command. Each says the command of Snakemake that it runs."""
