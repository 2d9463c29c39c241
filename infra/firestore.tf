locals {
  # Every collection group, with the fields that no query needs and that hold lists, maps or bytes:
  # a document may have 40,000 index entries, and each element of these would be one.
  collections = {
    tasks = [
      "anomalies", "faces", "labels", "provider", "segments", "source", "speaker_names", "speakers",
      "usage",
    ]
    segments    = ["segments"]
    raw         = ["data"]
    submissions = ["earlier", "labels", "source"]
    assets      = []
    spend_counters = []
  }
  unindexed = merge([
    for collection, fields in local.collections : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)

  # The queries of transcripts/submissions/sweep.py: a field that is equal, and one that is a time.
  indexes = {
    late_tasks       = { collection = "tasks", equal = "status", time = "submitted_at" }
    idle_submissions = { collection = "submissions", equal = "state", time = "updated_at" }
    dead_calls       = { collection = "submissions", equal = "state", time = "lease_expires_at" }
  }
}

resource "google_firestore_database" "this" {
  project                 = var.project
  name                    = coalesce(var.database, var.name)
  location_id             = coalesce(var.firestore_location, var.region)
  type                    = "FIRESTORE_NATIVE"
  concurrency_mode        = "OPTIMISTIC"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"

  # The provider's default, ABANDON, would keep the database without a word when it may go.
  deletion_policy = var.deletion_protection ? "ABANDON" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# Pages and raw blocks expire by themselves: subcollections do not go with their parent.
# No index on the time of expiry: one that only grows is a hot spot.
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
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  project     = var.project
  database    = google_firestore_database.this.name
  collection  = each.value.collection
  query_scope = "COLLECTION"

  fields {
    field_path = each.value.equal
    order      = "ASCENDING"
  }
  fields {
    field_path = each.value.time
    order      = "ASCENDING"
  }
}
