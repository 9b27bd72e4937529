"""Image gap analysis: what is compared, in which parts of the image, and the statistics of the gaps."""
