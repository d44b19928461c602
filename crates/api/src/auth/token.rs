//! Access tokens: JWTs (RFC 7519) that we alone make and read.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use reprise_core::ids::{TenantId, UserId};
use reprise_core::scope::Scopes;
use reprise_core::sealing::KeyRing;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::ApiError;

/// How long a token is good, in seconds. Longer, and a leaked one does harm for longer; shorter, and clients that
/// know no refresh log in all the time.
pub const LIFETIME_SECONDS: i64 = 3_600;

const ISSUER: &str = "reprise";
const AUDIENCE: &str = "reprise-api";
/// The one algorithm; a token that names another is refused whatever it says (RFC 8725 section 3.1).
const ALGORITHM: Algorithm = Algorithm::HS256;

/// What a good token says.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The version of the user's password when the token was made.
    pub password_version: i32,
    /// What it may do.
    pub scopes: Scopes,
}

#[derive(Serialize, Deserialize)]
struct Body {
    iss: String,
    aud: String,
    sub: String,
    tenant_id: String,
    password_version: i32,
    scope: String,
    iat: i64,
    exp: i64,
}

/// Makes and checks tokens.
pub struct Tokens {
    encoding: EncodingKey,
    /// The current key first, then the previous ones.
    decoding: Vec<DecodingKey>,
    validation: Validation,
}

impl Tokens {
    /// Tokens signed with a key that is derived from the master key.
    #[must_use]
    pub fn new(keys: &KeyRing) -> Self {
        let secrets: Vec<[u8; 32]> = keys.token_keys().collect();
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(secrets.first().map_or(&[], <[u8; 32]>::as_slice)),
            decoding: secrets
                .iter()
                .map(|secret| DecodingKey::from_secret(secret))
                .collect(),
            validation,
        }
    }

    /// Makes a token that is good from now on.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] when signing does not work.
    pub fn make(&self, claims: &Claims) -> Result<String, ApiError> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let body = Body {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claims.user_id.to_string(),
            tenant_id: claims.tenant_id.to_string(),
            password_version: claims.password_version,
            scope: claims.scopes.to_string(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
        };
        encode(&Header::new(ALGORITHM), &body, &self.encoding)
            .map_err(|error| ApiError::Internal(error.to_string()))
    }

    /// What a token says, if it is ours and still good.
    #[must_use]
    pub fn check(&self, token: &str) -> Option<Claims> {
        let body = self
            .decoding
            .iter()
            .find_map(|key| decode::<Body>(token, key, &self.validation).ok())?
            .claims;
        Some(Claims {
            tenant_id: body.tenant_id.parse().ok()?,
            user_id: UserId(body.sub.parse().ok()?),
            password_version: body.password_version,
            scopes: Scopes::parse(&body.scope).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use reprise_core::sealing::SecretKey;

    fn ring(byte: u8, previous: &[u8]) -> KeyRing {
        let key = |byte: u8| SecretKey::parse(&STANDARD.encode([byte; 32])).unwrap();
        KeyRing::new(key(byte), previous.iter().map(|byte| key(*byte)).collect())
    }

    fn claims() -> Claims {
        Claims {
            tenant_id: TenantId::new(),
            user_id: UserId(7),
            password_version: 3,
            scopes: Scopes::all(),
        }
    }

    #[test]
    fn a_token_is_read_back_and_a_previous_key_still_counts() {
        let token = Tokens::new(&ring(1, &[])).make(&claims()).unwrap();
        let read = Tokens::new(&ring(2, &[1])).check(&token).unwrap();
        assert_eq!((read.user_id, read.password_version), (UserId(7), 3));
        assert!(Tokens::new(&ring(2, &[])).check(&token).is_none());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let tokens = Tokens::new(&ring(1, &[]));
        let token = tokens.make(&claims()).unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        parts[0] = &unsigned;
        assert!(tokens.check(&parts.join(".")).is_none());
        parts[2] = "";
        assert!(tokens.check(&parts.join(".")).is_none());
        assert!(tokens.check("").is_none());
        assert!(tokens.check("a.b.c").is_none());
    }

    #[test]
    fn an_expired_token_is_refused() {
        let tokens = Tokens::new(&ring(1, &[]));
        let body = Body {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: "7".into(),
            tenant_id: TenantId::new().to_string(),
            password_version: 1,
            scope: String::new(),
            iat: 0,
            exp: OffsetDateTime::now_utc().unix_timestamp() - 1,
        };
        let token = encode(&Header::new(ALGORITHM), &body, &tokens.encoding).unwrap();
        assert!(tokens.check(&token).is_none());
        let later = Body {
            exp: OffsetDateTime::now_utc().unix_timestamp() + 60,
            ..body
        };
        let token = encode(&Header::new(ALGORITHM), &later, &tokens.encoding).unwrap();
        assert!(
            tokens.check(&token).is_some(),
            "the same token with a later end is good"
        );
    }
}
