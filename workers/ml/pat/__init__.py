"""PAT, the Pretrained Actigraphy Transformer, made and compared here; serving never imports this package's torch modules."""
