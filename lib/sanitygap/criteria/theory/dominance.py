"""Criteria for Appendix G of Binder et al. (2022): does positive evidence dominate every layer?"""

from __future__ import annotations

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, proved, refuted, unsettled

PREMISES = (
    "Gradient x Input sums to something positive",
    "LRP-0 with the bias in the denominator",
)
CONSERVATIVE = "conservative rules keep the sum"

#: methods that are what the statement assumes, by their definition: every active ReLU hands on
#: exactly what it received, and nothing of it goes to a bias
ADDITIVE = ("LRP-0", "LRP-gamma")
EXACT = 1e-6


@criterion("binder-g-dominance", tables=("appendix-g-proofs", "appendix-g"))
def dominance(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-g-proofs"], tables["appendix-g"]
    if verdict := unsettled(proofs, *PREMISES, CONSERVATIVE):
        return verdict
    by_method = table.groupby("method", sort=False)
    worst, conserving = by_method["estimate"].max(), by_method["conservation_error"].max()
    assumed = worst.index.isin(ADDITIVE)
    error = float(conserving[assumed].max())
    broken = worst[assumed & (worst > 0)]
    others = worst[~assumed & (worst > 0)]
    holds = proved(proofs, CONSERVATIVE) and broken.empty and error <= EXACT
    needed = len(others) > 0 or any(refuted(proofs, name) for name in PREMISES)
    return Verdict(
        value="false" if not holds else "caveat" if needed else "holds",
        evidence=(
            f"Rules that hand on exactly what they receive, none of it to a bias "
            f"({', '.join(ADDITIVE)}): a sum <= 0 in some layer in {_shares(broken)} of "
            f"{int(table['draws'].sum() / len(worst))} networks, and a layer's sum differs from "
            f"the logit by at most {error:.0e} of it; z3 "
            f"{'proves' if proved(proofs, CONSERVATIVE) else 'refutes'} that such rules keep the "
            "sum, whatever the biases. "
            + (
                "Methods that lack one of the two properties can have a sum <= 0 (largest share "
                f"of networks: {_shares(others)})"
                if len(others)
                else "No other method has a sum <= 0"
            )
            + (
                "; z3 has counterexamples for Gradient x Input and for LRP-0 with the bias in its "
                "denominator."
                if all(refuted(proofs, name) for name in PREMISES)
                else "."
            )
        ),
        numbers={"failing_methods": len(broken) + len(others), "methods": len(worst)}
        | {"conservation_error": error}
        | {f"share {name}": float(share) for name, share in worst.items()},
    )


def _shares(worst: pd.Series) -> str:
    """Methods with their share of networks, or 0."""
    return ", ".join(f"{share:.1%} ({name})" for name, share in worst.items()) or "0"
