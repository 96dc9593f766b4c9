"""Forecasts of the next day: baselines, ridge, XGBoost, LSTM; intervals that adapt to the person; what is served and why."""
