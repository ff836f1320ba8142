"""How fast jaxtherapy is, and where the time goes. See docs/performance.md."""
