"""Answers of models, by ONNX Runtime and xgboost; no framework that trains is imported here."""
