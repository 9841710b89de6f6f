"""The gate: did the model, the code or its speed get worse?"""
