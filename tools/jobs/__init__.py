"""Code that runs inside a job, together with untrusted code: checking, training, predicting, exporting."""
