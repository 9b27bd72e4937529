"""The error sources. To add one: write its file, add its line."""

from radsens.sources import (
    hf_equalisation,
    non_linearity,
    polariser_extinction,
    polariser_orientation,
    radiometric_noise,
    relative_transmission,
)

SOURCES = {
    module.SOURCE.name: module.SOURCE
    for module in (
        polariser_orientation,
        polariser_extinction,
        relative_transmission,
        hf_equalisation,
        radiometric_noise,
        non_linearity,
    )
}
