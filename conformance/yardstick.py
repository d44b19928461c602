"""A FastAPI application with A's models and its way of authentication: what our answers are measured by."""

from datetime import datetime
from typing import Annotated, Optional

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, ConfigDict, Field

app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="/v1/auth/token", auto_error=False)


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


class Signature(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scheme: Optional[str] = None
    header: Optional[str] = None
    prefix: Optional[str] = None
    algorithm: Optional[str] = None


class EndpointBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str
    description: Optional[Annotated[str, Field(max_length=1000)]] = None
    event_patterns: Optional[Annotated[list[str], Field(min_length=1, max_length=100)]] = None
    timeout_seconds: Optional[Annotated[int, Field(ge=1, le=60)]] = None
    max_retries: Optional[Annotated[int, Field(ge=0, le=50)]] = None
    headers: Optional[dict[str, str]] = None
    secret: Optional[str] = None
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
