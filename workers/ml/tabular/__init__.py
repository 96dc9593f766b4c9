"""Models of tables: XGBoost with a logistic comparator, for risk, treatment response and outcome."""
