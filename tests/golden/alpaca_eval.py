"""Scores of a made-up set in AlpacaEval's form, with scikit-learn's solver, posed as alpaca_eval 0.6.6 does.

    python alpaca_eval.py > ../fixtures/eval/alpaca_eval.json

Nothing of AlpacaEval is in it: lengths, difficulties and preferences are drawn here from the seed.
Made with scikit-learn 1.9.1, numpy 2.4.
"""

import json

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import make_scorer
from sklearn.model_selection import GroupKFold

sklearn.set_config(enable_metadata_routing=True)
N = 150
rng = np.random.default_rng(7)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def draw(difficulty, length_1, length_2, skill):
    delta = length_1 - length_2
    z = -1.5 * np.tanh(delta / delta.std(ddof=1)) + 0.8 * difficulty + skill + rng.normal(0, 1.5, N)
    return np.round(logistic(z), 6)


def design(preference, delta, difficulty, model):
    x = np.stack([np.tanh(delta / delta.std(ddof=1)), difficulty, np.full(N, float(model))], axis=1)
    return x, preference


def log_loss(y_true, y_pred, true_prob, true_sample_weight):
    y = np.where(y_true == 1, true_prob, 1 - true_prob)
    p = np.clip(y_pred, 1e-15, 1 - 1e-15)
    return -np.mean(true_sample_weight * (y * np.log(p) + (1 - y) * np.log(1 - p)))


def length_controlled(parts, gamed_parts, difficulty):
    x = np.concatenate([p[0] for p in gamed_parts] + [parts[0]])
    y = np.concatenate([p[1] for p in gamed_parts] + [parts[1]])
    weight = np.concatenate([np.full(N, 0.1)] * len(gamed_parts) + [np.ones(N)])
    # every row twice: once as a win with its preference as weight, once as a loss with the rest
    soft = np.concatenate([y, 1 - y])
    both = np.concatenate([weight, weight])
    scorer = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)
    scorer = scorer.set_score_request(true_sample_weight=True, true_prob=True)
    model = LogisticRegressionCV(
        cv=GroupKFold(n_splits=5), scoring=scorer, random_state=123, dual=False, l1_ratios=(1,),
        solver="liblinear", fit_intercept=False, use_legacy_attributes=False,
        tol=1e-10, max_iter=100_000,  # alpaca_eval leaves both as they are: its rates end a few thousandths away
    )
    model.set_fit_request(sample_weight=True)
    model.fit(
        np.concatenate([x, x]), np.concatenate([np.ones(len(y), int), np.zeros(len(y), int)]),
        sample_weight=soft * both, groups=np.tile(np.arange(len(y)), 2),
        true_sample_weight=both, true_prob=soft,
    )
    test = np.stack([np.zeros(N), difficulty, np.ones(N)], axis=1)
    predicted = model.predict_proba(test)[:, 1]
    return {
        "length_controlled_winrate": 100 * predicted.mean(),
        "lc_standard_error": 100 * predicted.std(ddof=1) / np.sqrt(N),
        "weights": model.coef_.ravel().tolist(),
    }


difficulty = np.round(rng.normal(0, 1, N), 6)
base = rng.integers(20, 400, N)
gamed = []
for length, skill in ((base * 2, 0.3), (base // 2 + 1, -0.3)):
    preference = draw(difficulty, base, length, skill)
    gamed.append({"delta": (base - length).tolist(), "preference": preference.tolist()})
gamed_parts = [design(np.array(g["preference"]), np.array(g["delta"]), difficulty, 0) for g in gamed]
models = {}
for name, scale, skill in (("wordy", 1.7, -0.5), ("terse", 0.5, 0.4), ("weak", 1.0, -4.0)):
    length = (base * scale * rng.uniform(0.6, 1.4, N)).astype(int) + 1
    preference = draw(difficulty, base, length, skill)
    preference[:3] = 0.5
    parts = design(preference, base - length, difficulty, 1)
    expected = length_controlled(parts, gamed_parts, difficulty)
    expected |= {
        "win_rate": 100 * preference.mean(),
        "standard_error": 100 * preference.std(ddof=1) / np.sqrt(N),
        "discrete_win_rate": 100 * (np.sum(preference > 0.5) + 0.5 * np.sum(preference == 0.5)) / N,
        "n_wins": int(np.sum(preference > 0.5)), "n_wins_base": int(np.sum(preference < 0.5)),
        "n_draws": int(np.sum(preference == 0.5)), "n_total": N, "avg_length": int(length.mean()),
    }
    models[name] = {"length": length.tolist(), "preference": (preference + 1).round(6).tolist(), "expected": expected}
print(json.dumps({"difficulty": difficulty.tolist(), "base_length": base.tolist(), "gamed": gamed, "models": models}))
