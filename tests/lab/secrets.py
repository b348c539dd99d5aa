"""Thirty secrets of as many kinds, planted where people put them by mistake."""

import base64
import json

# Every value is made up. MARK stands in each, so that one search finds what slipped through.
MARK = "pLaNtEd"


def _jwt() -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    header, payload = part(json.dumps({"alg": "HS256"})), part(json.dumps({"sub": "x"}))
    return f"{header}.{payload}.{MARK}{'A' * 20}"


LABELS = {
    "app.password": f"{MARK}-label-1",
    "API_TOKEN": f"{MARK}-label-2",
    "aws.secret_access_key": f"{MARK}-label-3",
    "basic-auth": f"{MARK}-label-4",
    "session.cookie": f"{MARK}-label-5",
    "db.connection-string": f"Server=db;Password={MARK}-label-6;",
    "registry": f"https://user:{MARK}-label-7@registry.example/v2",
    "jwt": _jwt(),
    "clientSecret": f"{MARK}-label-9",
    "webhook": f"https://hooks.example/{MARK}-label-10",
    "note": f"AKIA{MARK.upper()}123456789"[:20],
    "slack": f"xoxb-{MARK}-1234567890-abcdef",
}
ENVIRON = {
    "DB_PASSWORD": f"{MARK}-env-1",
    "GITHUB_TOKEN": f"ghp_{MARK}abcdefghijklmnopqrstuvwxyz",
    "DATABASE_URL": f"postgres://app:{MARK}-env-3@db/app",
    "SSH_KEY": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{MARK}\n-----END OPENSSH PRIVATE KEY-----",
    "STRIPE": f"sk_live_{MARK}0123456789",
    "ORDINARY": f"{MARK}-env-6",
}
ARGUMENTS = (
    f"--password={MARK}-arg-1",
    "--token",
    f"{MARK}-arg-2",
    f"--db=mysql://root:{MARK}-arg-3@db/x",
    "--header",
    f"Authorization: Bearer {MARK}-arg-4",
    f"--api-key={MARK}-arg-5",
    f"API_SECRET={MARK}-arg-6",
)
ANNOTATIONS = {
    "example.com/token": f"{MARK}-annotation-1",
    "example.com/private-key": f"{MARK}-annotation-2",
    "example.com/credentials": f"{MARK}-annotation-3",
    "vault": f"hvs.{MARK}0123456789abcdefghij",
    "gitlab": f"glpat-{MARK}0123456789abcdef",
    "sendgrid": f"SG.{MARK}0123456789.{MARK}0123456789abcdef",
}
COUNT = len(LABELS) + len(ENVIRON) + 6 + len(ANNOTATIONS)
