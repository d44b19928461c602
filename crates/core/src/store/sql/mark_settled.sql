UPDATE endpoints SET unsettled_since = NULL WHERE tenant_id = $1 AND id = $2
