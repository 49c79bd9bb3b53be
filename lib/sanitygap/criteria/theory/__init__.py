"""Criteria for the formal statements of Binder et al. (2022), one module a topic.

Each criterion looks only at the tables that it names; none of them depends on a model.
"""
