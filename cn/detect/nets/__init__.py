"""The detectors' networks, reimplemented so that the published files load with every tensor used."""
