"""A dataset in numbers: what is counted, the table, and the plots."""
