-- A minute after the change no publish call can still be under way that saw the old status: statements end sooner.
-- A leased row of a deleted endpoint may come back from its dispatcher as a retry.
UPDATE endpoints
SET unsettled_since = NULL
WHERE tenant_id = $1 AND id = $2 AND unsettled_since < now() - interval '1 minute'
  AND (status <> 'deleted' OR unsettled_since < now() - interval '3 minutes')
