//! Where the fair walk over tenants and endpoints stands.

use reprise_core::ids::TenantId;
use reprise_core::store::delivery_queue::ClaimPosition;
use uuid::Uuid;

/// Where the fair walk over tenants and endpoints stands.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(super) position: ClaimPosition,
    /// Whether anything was claimed since the walk was at its start.
    has_found: bool,
}

impl Walk {
    /// Begins at a random place, so that replicas do not walk in step.
    pub(crate) fn at_random() -> Self {
        let position = ClaimPosition {
            tenant_id: Some(TenantId::from_uuid(Uuid::from_u128(rand::random()))),
            ..ClaimPosition::default()
        };
        Self {
            position,
            has_found: true,
        }
    }

    /// Goes on. A walk that has come round to its start and found nothing on the whole way is over.
    pub(super) fn advance(&mut self, next: ClaimPosition, found_count: usize) -> Progress {
        self.has_found |= found_count > 0;
        self.position = next;
        if !self.position.is_start() {
            return Progress::MayBeMore;
        }
        if std::mem::replace(&mut self.has_found, false) {
            Progress::MayBeMore
        } else {
            Progress::NothingLeft
        }
    }
}

/// Whether to claim again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    MayBeMore,
    NothingLeft,
}

impl Progress {
    /// Of two claims: if either says that there may be more, there may be.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::MayBeMore => self,
            Self::NothingLeft => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::ids::EndpointId;

    use super::*;

    fn at(tenant_id: Option<TenantId>) -> ClaimPosition {
        ClaimPosition {
            tenant_id,
            ..ClaimPosition::default()
        }
    }

    #[test]
    fn walk_from_the_middle_goes_round_once_before_it_rests() {
        let mut walk = Walk::at_random();
        assert_eq!(walk.advance(at(None), 0), Progress::MayBeMore);
        assert_eq!(walk.advance(at(None), 0), Progress::NothingLeft);
    }

    #[test]
    fn walk_rests_only_after_a_round_without_a_find() {
        let mut walk = Walk::at_random();
        let middle = at(Some(TenantId::new()));
        walk.advance(at(None), 0);
        assert_eq!(walk.advance(middle.clone(), 1), Progress::MayBeMore);
        assert_eq!(walk.advance(at(None), 0), Progress::MayBeMore);
        assert_eq!(walk.advance(middle, 0), Progress::MayBeMore);
        assert_eq!(walk.advance(at(None), 0), Progress::NothingLeft);
    }

    #[test]
    fn walk_over_one_tenants_many_endpoints_ends_too() {
        let mut walk = Walk::at_random();
        let mut halfway = at(None);
        halfway
            .endpoint_by_tenant
            .insert(TenantId::new(), EndpointId::new());
        walk.advance(at(None), 0);
        assert_eq!(walk.advance(halfway, 0), Progress::MayBeMore);
        assert_eq!(walk.advance(at(None), 0), Progress::NothingLeft);
    }
}
