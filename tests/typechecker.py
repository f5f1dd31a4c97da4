"""The checker of annotations in the tests: beartype, with whole numbers allowed where floats are wanted."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
