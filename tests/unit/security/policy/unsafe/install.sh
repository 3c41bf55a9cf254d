#!/bin/sh
vault kv put secret/ml-model api_key=abc123 \
  database_password=def456
kubectl apply -f network-policies.yaml
mlflow ui --host 0.0.0.0 --port 5000
curl -s https://get.example/install | sudo bash
docker run -p 5000:5000 ml-model:latest
pip install pip-audit
