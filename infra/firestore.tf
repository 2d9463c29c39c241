locals {
  # Every collection group, with its fields that hold lists, maps or bytes. No query uses them, and each
  # element would be an index entry; a document may have 40,000.
  collections = {
    tasks = [
      "anomalies", "deleted_revisions", "faces", "labels", "provider", "segments", "source",
      "speaker_names", "speakers", "usage",
    ]
    segments       = ["segments"]
    raw            = ["data"]
    submissions    = ["labels", "previous_attempts", "source"]
    assets         = []
    recordings     = []
    spend_counters = []
  }
  unindexed = merge([
    for collection, fields in local.collections : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)

  # The queries of transcripts/submissions/sweep.py, oldest first, and the filters of the lists in
  # transcripts/results/listing.py, newest first: one field is compared for equality, one is a time.
  indexes = merge(
    {
      late_tasks       = { collection = "tasks", equal = "status", time = "submitted_at", newest_first = false }
      idle_submissions = { collection = "submissions", equal = "state", time = "updated_at", newest_first = false }
      dead_calls       = { collection = "submissions", equal = "state", time = "lease_expires_at", newest_first = false }
    },
    merge([
      for collection, fields in local.filters : {
        for field in fields :
        "${collection}_by_${field}" => { collection = collection, equal = field, time = "created_at", newest_first = true }
      }
    ]...),
  )
  filters = {
    tasks       = ["status", "asset_id", "submission_id", "label_pairs"]
    submissions = ["state", "source.uri", "search_keys", "asset_id"]
  }
  lists = ["label_pairs", "search_keys"]
}

resource "google_firestore_database" "this" {
  project                 = var.project
  name                    = coalesce(var.database, var.name)
  location_id             = coalesce(var.firestore_location, var.region)
  type                    = "FIRESTORE_NATIVE"
  concurrency_mode        = "OPTIMISTIC"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"

  # The provider's default is ABANDON: an unprotected database would silently stay after a destroy.
  deletion_policy = var.deletion_protection ? "ABANDON" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# Pages and raw blocks need a TTL of their own: Firestore does not delete subcollections with their
# parent. The time of expiry is not indexed: an index of increasing values is a hot spot.
resource "google_firestore_field" "expiry" {
  for_each = local.collections

  project    = var.project
  database   = google_firestore_database.this.name
  collection = each.key
  field      = "expires_at"

  ttl_config {}
  index_config {}
}

resource "google_firestore_field" "unindexed" {
  for_each = local.unindexed

  project    = var.project
  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  index_config {}

  # Firestore refuses many changes of its indexes at once ("too much contention"): three groups, one after
  # the other: https://github.com/hashicorp/terraform-provider-google/issues/16599
  depends_on = [google_firestore_field.expiry]
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  project     = var.project
  database    = google_firestore_database.this.name
  collection  = each.value.collection
  query_scope = "COLLECTION"

  fields {
    field_path   = each.value.equal
    order        = contains(local.lists, each.value.equal) ? null : "ASCENDING"
    array_config = contains(local.lists, each.value.equal) ? "CONTAINS" : null
  }
  fields {
    field_path = each.value.time
    order      = each.value.newest_first ? "DESCENDING" : "ASCENDING"
  }

  depends_on = [google_firestore_field.unindexed]
}
