"""Criteria for Appendix G of Binder et al. (2022): does positive evidence dominate every layer?"""

from __future__ import annotations

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, proved, refuted, unsettled

PREMISES = (
    "Gradient x Input sums to something positive",
    "LRP-0 with the bias in the denominator",
)
CONSERVATIVE = "conservative rules keep the sum"


@criterion("binder-g-dominance", tables=("appendix-g-proofs", "appendix-g"))
def dominance(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-g-proofs"], tables["appendix-g"]
    if verdict := unsettled(proofs, *PREMISES, CONSERVATIVE):
        return verdict
    worst = table.groupby("method", sort=False)["estimate"].max()
    failing = worst[worst > 0]
    conserving = table.groupby("method", sort=False)["conservation_error"].max()
    exact = [str(name) for name, error in conserving.items() if error <= 1e-6]
    found = bool(len(failing)) or any(refuted(proofs, name) for name in PREMISES)
    listed = ", ".join(f"{name} {share:.1%}" for name, share in failing.items())
    return Verdict(
        value="false" if found else "holds",
        evidence=(
            (
                f"Largest share of networks with a sum <= 0 in some layer: {listed}. "
                if len(failing)
                else f"No sum <= 0 in {int(table['draws'].sum())} networks. "
            )
            + (
                "z3 has counterexamples for Gradient x Input and for LRP-0 with the bias in its "
                "denominator, "
                if all(refuted(proofs, name) for name in PREMISES)
                else ""
            )
            + (
                f"and proves that exactly conservative rules keep the sum, whatever the biases "
                f"(here: {', '.join(exact)})."
                if proved(proofs, CONSERVATIVE)
                else "and conservative rules do not keep the sum."
            )
        ),
        numbers={"failing_methods": len(failing), "methods": len(worst)}
        | {f"share {name}": float(share) for name, share in worst.items()},
    )
