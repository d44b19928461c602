"""A FastAPI application with A's models and its way of authentication: what our answers are measured by."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Optional

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, ConfigDict, Field

app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="/v1/auth/token", auto_error=False)


@app.exception_handler(RequestValidationError)
def without_input(_request, error):
    """FastAPI's answer but for what was sent: it echoes that, and fails over 1e400 and lone surrogates."""
    faults = [{key: fault[key] for key in ("loc", "msg", "type")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


class WebhookDeliveryResponse(BaseModel):
    id: str
    endpoint_id: str
    user_id: int
    event_id: Optional[str] = None
    event_type: str
    event_group: Optional[str] = None
    status: str
    scheduled_attempt: int
    next_retry_at: Optional[datetime] = None
    last_attempt_at: Optional[datetime] = None
    delivered_at: Optional[datetime] = None
    final_http_status: Optional[int] = None
    error_message: Optional[str] = None
    replay_of_delivery_id: Optional[str] = None
    created_at: datetime
    updated_at: datetime


# A text without a bound may be no Unicode in Python. No text of ours may, and Pydantic tells that of bounded ones.
Text = Annotated[str, Field(max_length=1_000_000)]


class Scheme(str, Enum):
    STANDARD = "standard"
    TIMESTAMPED = "timestamped"
    BODY = "body"


class Algorithm(str, Enum):
    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"


class Signature(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scheme: Optional[Scheme] = None
    header: Optional[Text] = None
    prefix: Optional[Text] = None
    algorithm: Optional[Algorithm] = None


class EndpointBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: Text
    description: Optional[Annotated[str, Field(max_length=1000)]] = None
    event_patterns: Optional[Annotated[list[Text], Field(min_length=1, max_length=100)]] = None
    timeout_seconds: Optional[Annotated[int, Field(ge=1, le=60)]] = None
    max_retries: Optional[Annotated[int, Field(ge=0, le=50)]] = None
    headers: Optional[Annotated[dict[str, Text], Field(max_length=32)]] = None
    secret: Optional[Text] = None
    signature: Optional[Signature] = None
    rate_limit_per_second: Optional[Annotated[int, Field(ge=1, le=10_000)]] = None
    max_in_flight: Optional[Annotated[int, Field(ge=1, le=1_000)]] = None


def user(
    token: Annotated[Optional[str], Depends(bearer)],
    x_api_key: Annotated[Optional[str], Header(alias="X-API-Key")] = None,
):
    if token != "good" and x_api_key != "good":
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})


@app.post("/v1/auth/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Bearer"})


@app.post("/v1/webhooks/deliveries/{delivery_id}/replay", response_model=WebhookDeliveryResponse)
def replay_webhook_delivery(delivery_id: str, _: Annotated[None, Depends(user)]):
    raise HTTPException(404, "Delivery not found")


@app.post("/v1/webhooks/endpoints", dependencies=[Depends(user)])
def create_endpoint(body: EndpointBody):
    raise HTTPException(500, "the yardstick makes nothing")


@app.get("/v1/webhooks/endpoints", dependencies=[Depends(user)])
def list_endpoints(limit: Annotated[int, Query(ge=1, le=250)] = 50):
    return []
