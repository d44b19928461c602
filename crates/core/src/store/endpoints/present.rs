//! The condition of `endpoints_present_idx`, in its own words.

use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate,
};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Bool;

/// Not deleted. A partial index can't serve a status that is a parameter; and Diesel's own literals of SQL are prepared
/// anew at every call, which costs a round trip.
#[derive(Clone, Copy, Debug, QueryId)]
pub(in crate::store) struct IsPresent;

impl Expression for IsPresent {
    type SqlType = Bool;
}

impl QueryFragment<Pg> for IsPresent {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("endpoints.status <> 'deleted'");
        Ok(())
    }
}

impl<Table> AppearsOnTable<Table> for IsPresent {}
impl<Table> SelectableExpression<Table> for IsPresent {}
impl<GroupBy> ValidGrouping<GroupBy> for IsPresent {
    type IsAggregate = is_aggregate::Never;
}
