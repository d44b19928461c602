"""An OAuth2 client, Authlib's, at the token route."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from stage import PASSWORD


def check(stage, _receiver):
    token_url = f"{stage.url}/v1/auth/token"
    session = OAuth2Session(scope="webhooks:read", token_endpoint_auth_method="none")
    token = session.fetch_token(token_url, username=stage.username, password=PASSWORD)
    assert (token["token_type"], token["scope"]) == ("bearer", "webhooks:read"), token
    assert session.get(f"{stage.url}/v1/webhooks/endpoints").status_code == 200
    assert session.post(f"{stage.url}/v1/webhooks/endpoints", json={}).status_code == 403
    try:
        OAuth2Session().fetch_token(token_url, username=stage.username, password="wrong")
    except OAuthError as error:
        assert error.error == "invalid_grant", error
    else:
        raise AssertionError("a wrong password is taken")
    return "a token by the password grant, used; a wrong password is invalid_grant"
