"""Colours of every picture (Okabe & Ito 2008): told apart with any colour vision."""

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
