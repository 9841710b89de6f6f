"""Tokenizers of checkpoints, with the ids of the published code's release of transformers.

transformers 5 builds the tokenizers of Llama, Gemma and Qwen anew from their vocabularies and has
none that runs SentencePiece itself, so that its ids differ from those that a published model was
trained on. Two small readers follow the steps of release 4.51.3 instead: `pieces` over a
SentencePiece model, `serialised` over a `tokenizer.json`. Neither reads the checkpoint's
`config.json`, which transformers does not know (`model_type: libra`).
"""
