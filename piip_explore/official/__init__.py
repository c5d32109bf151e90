"""The authors' dialect: constructor arguments, config files, pre-trained weights and state-dict names. No torch."""
