//! Tokens that somebody made who knows what ours look like; some even know the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use reprise_core::sealing::{KeyRing, SecretKey};
use reprise_testkit::fixture::{SECRET_KEY, Tenant};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::auth::assert_not_authenticated;
use crate::stage::Stage;

const ENDPOINTS: &str = "/v1/webhooks/endpoints";

/// A token in the making: as ours are, but for what a test changes.
pub struct Token {
    header: Value,
    claims: Value,
    algorithm: Algorithm,
}

impl Token {
    /// A good one of the tenant's user.
    pub fn of(tenant: &Tenant) -> Self {
        Self {
            header: json!({"typ": "JWT", "alg": "HS256"}),
            claims: json!({
                "iss": "reprise", "aud": "reprise-api", "sub": tenant.user_id.to_string(),
                "tenant_id": tenant.tenant_id, "password_version": 1, "scope": "admin webhooks:read",
                "iat": 0, "exp": OffsetDateTime::now_utc().unix_timestamp() + 60,
            }),
            algorithm: Algorithm::HS256,
        }
    }

    /// With another claim.
    fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Without a claim.
    fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().expect("claims").remove(name);
        self
    }

    /// With something else in its header.
    fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Signed by another algorithm, whatever its header says.
    fn signed_by(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    fn unsigned(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// The token, signed with the key that the API uses.
    pub fn sign(&self) -> String {
        let key = SecretKey::parse(SECRET_KEY).expect("the testkit's key is one");
        let ring = KeyRing::new(key, vec![]);
        let key = EncodingKey::from_secret(&ring.token_keys().next().expect("a key"));
        let unsigned = self.unsigned();
        let signature = crypto::sign(unsigned.as_bytes(), &key, self.algorithm).expect("signed");
        format!("{unsigned}.{signature}")
    }
}

async fn is_taken(stage: &Stage, token: &str) -> bool {
    stage
        .api
        .anonymous()
        .bearer(token)
        .get(ENDPOINTS)
        .await
        .status
        == 200
}

async fn assert_all_refused(stage: &Stage, tokens: &[(&str, String)]) {
    for (what, token) in tokens {
        let answer = stage.api.anonymous().bearer(token).get(ENDPOINTS).await;
        assert_not_authenticated(what, &answer);
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_alike() {
    let stage = Stage::start().await;
    let token = || Token::of(&stage.tenant);
    let good = token().sign();
    assert!(is_taken(&stage, &good).await);
    let stranger = Tenant::create(stage.database.url(), "stranger").await;
    let (body, signature) = good.rsplit_once('.').expect("a token has three parts");
    let swapped: String = signature.chars().rev().collect();
    let forged = [
        ("nothing", String::new()),
        ("garbage", "garbage".to_owned()),
        ("no signature", format!("{body}.")),
        ("another signature", format!("{body}.{swapped}")),
        ("a truncated token", good[..good.len() - 1].to_owned()),
        ("an ended token", token().claim("exp", 1_000).sign()),
        (
            "a token of another tenant's user",
            token()
                .claim("tenant_id", stranger.tenant_id.as_str())
                .sign(),
        ),
        (
            "a token for somebody else",
            token().claim("aud", "x").sign(),
        ),
        ("a token of somebody else", token().claim("iss", "x").sign()),
        ("a token without an end", token().without("exp").sign()),
        ("an unknown user", token().claim("sub", "999").sign()),
        ("an unknown scope", token().claim("scope", "root").sign()),
    ];
    assert_all_refused(&stage, &forged).await;
}

#[tokio::test]
async fn tokens_of_any_other_algorithm_are_refused_whoever_signed_them() {
    let stage = Stage::start().await;
    let token = || Token::of(&stage.tenant);
    assert!(is_taken(&stage, &token().sign()).await);
    let none = token().header("alg", "none");
    let forged = [
        ("none, unsigned", format!("{}.", none.unsigned())),
        ("none, signed", none.sign()),
        (
            "HS384",
            token()
                .header("alg", "HS384")
                .signed_by(Algorithm::HS384)
                .sign(),
        ),
        (
            "HS512",
            token()
                .header("alg", "HS512")
                .signed_by(Algorithm::HS512)
                .sign(),
        ),
        (
            "HS384 by its signature alone",
            token().signed_by(Algorithm::HS384).sign(),
        ),
        (
            "HS384 by its header alone",
            token().header("alg", "HS384").sign(),
        ),
        (
            "RS256, signed as with a public key",
            token().header("alg", "RS256").sign(),
        ),
        ("ES256", token().header("alg", "ES256").sign()),
        ("another case", token().header("alg", "hs256").sign()),
        ("no algorithm", token().header("alg", Value::Null).sign()),
    ];
    assert_all_refused(&stage, &forged).await;
}
