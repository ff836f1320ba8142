# Who succeeds? Rscript docs/logistic_regression.R FOLDER, the folder of `evaluate --data FOLDER`.
folder <- commandArgs(trailingOnly = TRUE)[1]
therapies <- read.csv(file.path(folder, "therapies.csv"), stringsAsFactors = TRUE)
therapies$therapist <- relevel(therapies$therapist, ref = "complementary")
formula <- success ~ therapist + scale(initial_rs) + scale(gain_of_best)
model <- glm(formula, family = binomial, data = therapies)
print(summary(model))
cat("\nOdds ratios (of numbers: per standard deviation), n =", nobs(model), "\n")
print(round(exp(cbind(odds_ratio = coef(model), confint.default(model))), 3))
