"""Attribution maps, where LRP's relevance goes, and the gallery."""
