"""How the attention-based voices were made: an autoregressive model in the family of Tacotron 2."""
