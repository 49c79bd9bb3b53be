"""The checks of formal statements as tables of a run; they need neither model nor images."""

from sanitygap.table import table
from sanitygap.theory import TABLES

for _name, (_check, _profiles) in TABLES.items():
    table(_name, smoke=_profiles["smoke"], quick=_profiles["quick"], full=_profiles["full"])(_check)
