"""What runs inside a job, beside untrusted code: checking, training, predicting, exporting."""
