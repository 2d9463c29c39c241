# Required -------------------------------------------------------------------------------------------

variable "project" {
  description = "Id of an existing Google Cloud project with a billing account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id such as my-project-123, not a project name or number."
  }
}

variable "package" {
  description = "Path of the zip that `make package` builds; make sets it."
  type        = string
  nullable    = false

  validation {
    condition     = try(fileexists(var.package), false)
    error_message = "package must be the path of an existing zip; `make package` builds it."
  }
}

variable "mavi_api_key" {
  description = "API key of the Mavi account, stored in Secret Manager only; make sets it."
  type        = string
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[!-~]{8,512}$", var.mavi_api_key))
    error_message = "mavi_api_key must be 8 to 512 printable ASCII characters without spaces."
  }
}

variable "callback_tokens" {
  description = "One callback token, or two during a rotation, comma-separated. Stored in Secret Manager only; make sets them."
  type        = string
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,}(,[A-Za-z0-9_-]{32,})*$", var.callback_tokens))
    error_message = "callback_tokens must be comma-separated tokens, each of at least 32 characters A-Z a-z 0-9 _ -."
  }
}

variable "mavi_api_key_version" {
  description = "Number of the API key. `make set-api-key` raises it by one, which stores mavi_api_key again and deploys submit."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.mavi_api_key_version >= 1 && floor(var.mavi_api_key_version) == var.mavi_api_key_version
    error_message = "mavi_api_key_version must be a whole number, 1 or more."
  }
}

variable "callback_tokens_version" {
  description = "Number of the tokens. `make rotate-token` raises it by one, which stores callback_tokens again and deploys callback."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.callback_tokens_version >= 1 && floor(var.callback_tokens_version) == var.callback_tokens_version
    error_message = "callback_tokens_version must be a whole number, 1 or more."
  }
}

# Location and names ---------------------------------------------------------------------------------

variable "name" {
  description = "Prefix of every resource name. Each environment in a project needs its own."
  type        = string
  default     = "transcripts"
  nullable    = false

  validation {
    # A service account id has at most 30 characters, and the longest suffix has 14.
    condition     = can(regex("^[a-z][a-z0-9-]{2,14}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 16 characters a-z, 0-9 and -, begin with a letter and not end with a dash."
  }
  validation {
    # The accounts of its functions would have the names of another environment's callers.
    condition     = !endswith(var.name, "-to")
    error_message = "name must not end in -to."
  }
}

variable "region" {
  description = "Region of functions, queue, buckets and secrets. It cannot be changed later without replacing most resources."
  type        = string
  default     = "us-central1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region such as us-central1, not a zone or a multi-region."
  }
}

variable "firestore_location" {
  description = "Location of the database: a region, nam5 or eur3. It cannot be changed later. Default: region."
  type        = string
  default     = null

  validation {
    condition     = var.firestore_location == null || can(regex("^([a-z]+-[a-z]+[0-9]{1,2}|nam[0-9]+|eur[0-9]+)$", var.firestore_location))
    error_message = "firestore_location must be a region, or a multi-region such as nam5 or eur3."
  }
  validation {
    # The key of a database has to be where the database is, and kms_key is used in the region too:
    # https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases#CmekConfig
    condition     = var.kms_key == null || var.firestore_location == null || var.firestore_location == var.region
    error_message = "firestore_location must be unset or equal to region if kms_key is set: the key is in the region."
  }
}

variable "database" {
  description = "Id of the Firestore database. Default: the value of name, so that no existing database is used."
  type        = string
  default     = null

  validation {
    condition     = var.database == null || can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database))
    error_message = "database must be (default), or 4 to 63 characters a-z, 0-9 and -, beginning with a letter and not ending with a dash."
  }
}

# Behavior of the pipeline; see the settings in the documentation ------------------------------------

variable "mavi_base_url" {
  description = "Base URL of the Mavi API."
  type        = string
  default     = "https://mavi-backend.memories.ai/serve/api/v2"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/?#@ ]+(/[^?# ]*)?$", var.mavi_base_url))
    error_message = "mavi_base_url must be an https:// URL without query, fragment or user name."
  }
}

variable "mavi_requests_per_second" {
  description = "Rate limit of the Mavi account, in requests a second per endpoint. It limits the queue too."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.mavi_requests_per_second >= 0.001 && var.mavi_requests_per_second <= 500 && floor(var.mavi_requests_per_second * 1000) == var.mavi_requests_per_second * 1000
    error_message = "mavi_requests_per_second must be from 0.001 to 500, the most that a queue dispatches, with at most 3 decimals."
  }
}

variable "max_submissions_per_day" {
  description = "Spend cap: paid submissions per UTC day; 0 = no cap."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.max_submissions_per_day >= 0 && var.max_submissions_per_day <= 999999999 && floor(var.max_submissions_per_day) == var.max_submissions_per_day
    error_message = "max_submissions_per_day must be a whole number from 0 to 999999999."
  }
}

variable "match_content" {
  description = "Objects of the upload bucket with the same bytes are one recording, whatever their names are."
  type        = bool
  default     = false
  nullable    = false
}

variable "max_object_bytes" {
  description = "Larger uploaded objects are rejected."
  type        = number
  default     = 5368709120
  nullable    = false

  validation {
    condition     = var.max_object_bytes >= 1 && var.max_object_bytes <= 5497558138880 && floor(var.max_object_bytes) == var.max_object_bytes
    error_message = "max_object_bytes must be a whole number from 1 to 5497558138880, the 5 TiB of an object."
  }
}

variable "overdue_after_minutes" {
  description = "Minutes after which a submitted task without a result counts as overdue."
  type        = number
  default     = 360
  nullable    = false

  validation {
    condition     = var.overdue_after_minutes >= 1 && var.overdue_after_minutes <= 999999999 && floor(var.overdue_after_minutes) == var.overdue_after_minutes
    error_message = "overdue_after_minutes must be a whole number from 1 to 999999999."
  }
}

variable "resubmit_overdue" {
  description = "How many times an overdue asset is paid for again, within the spend cap; 0 = never."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.resubmit_overdue >= 0 && var.resubmit_overdue <= 999999999 && floor(var.resubmit_overdue) == var.resubmit_overdue
    error_message = "resubmit_overdue must be a whole number from 0 to 999999999."
  }
}

variable "retention_days" {
  description = "Days until tasks and submissions expire, at least replay_days; 0 = never."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.retention_days >= 0 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number, 0 or more."
  }
  validation {
    # The functions accept no more, because a date has an upper bound.
    condition     = var.retention_days <= 36500
    error_message = "retention_days must be at most 36500."
  }
  validation {
    # A replayed upload whose submission has expired would be paid for again.
    condition     = var.retention_days == 0 || var.retention_days >= var.replay_days
    error_message = "retention_days must be 0 or at least replay_days: a replayed upload must still be on record."
  }
}

variable "upload_retention_days" {
  description = "Days until an uploaded object is deleted from the bucket; 0 = never. Its transcript stays."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.upload_retention_days == 0 || (var.upload_retention_days >= 3 && floor(var.upload_retention_days) == var.upload_retention_days)
    error_message = "upload_retention_days must be 0 or a whole number of at least 3: an object may wait in the queue for days."
  }
}

variable "replay_days" {
  description = "Days that topics keep every message, acknowledged or not, for replay with `seek`."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.replay_days >= 1 && var.replay_days <= 31 && floor(var.replay_days) == var.replay_days
    error_message = "replay_days must be a whole number from 1 to 31."
  }
}

variable "max_delivery_attempts" {
  description = "Deliveries until a message becomes a dead letter. 20 deliveries, 10 s to 10 min apart, take about two and a half hours."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100 && floor(var.max_delivery_attempts) == var.max_delivery_attempts
    error_message = "max_delivery_attempts must be a whole number from 5 to 100, the limits of Pub/Sub."
  }
}

variable "sweep_schedule" {
  description = "Cron expression in UTC for sweep; it has to fire at least once an hour."
  type        = string
  default     = "*/15 * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9*,/-]+ \\*(/1)? \\* \\* \\*$", var.sweep_schedule))
    error_message = "sweep_schedule must be a cron expression that fires every hour, such as */15 * * * *."
  }
}

variable "function_sizes" {
  description = "Sizes per function that replace the defaults in functions.tf. A new project may use 20 vCPU and 40 GiB in a region: Cloud Run refuses a function whose max_instances times cpu or memory is more."
  type = map(object({
    cpu           = optional(string)
    memory        = optional(string)
    concurrency   = optional(number)
    timeout_s     = optional(number)
    min_instances = optional(number)
    max_instances = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.function_sizes) : contains(keys(local.functions), name)])
    error_message = "function_sizes has an unknown function. Known functions: ${join(", ", keys(local.functions))}."
  }
  validation {
    condition     = try(var.function_sizes["submit"].max_instances, null) == null || try(var.function_sizes["submit"].max_instances, 1) == 1
    error_message = "submit must have max_instances = 1: it keeps the rate limit of the Mavi account, and two instances would double the rate."
  }
  validation {
    condition = alltrue([
      for name, size in var.function_sizes : size.timeout_s == null || try(
        size.timeout_s >= { submit = 1800, ingest = 30, callback = 260, subscriber = 60, results = 60, reader = 60, sweep = 270 }[name]
        && size.timeout_s <= (name == "submit" ? 3600 : 540), false
      )
    ])
    error_message = "timeout_s must be at least what the function's own limits add up to (submit 1800, ingest 30, callback 260, subscriber 60, results 60, reader 60, sweep 270), and at most 540, below Pub/Sub's acknowledgement deadline of 600; 3600 for submit."
  }
  validation {
    condition = alltrue([
      for size in values(var.function_sizes) : size.memory == null || can(regex("^[0-9]+(Mi|Gi)$", size.memory))
    ])
    error_message = "memory must be a size such as 512Mi or 1Gi."
  }
  validation {
    condition = alltrue(flatten([
      for size in values(var.function_sizes) : [
        size.max_instances == null || try(size.max_instances >= 1, false),
        size.min_instances == null || try(size.min_instances >= 0, false),
        size.concurrency == null || try(size.concurrency >= 1 && size.concurrency <= 1000, false),
      ]
    ]))
    error_message = "max_instances must be 1 or more, min_instances 0 or more, concurrency 1 to 1000."
  }
  validation {
    condition = alltrue(flatten([
      for size in values(var.function_sizes) : [
        for value in [size.concurrency, size.timeout_s, size.min_instances, size.max_instances] : value == null || try(floor(value) == value, false)
      ]
    ]))
    error_message = "concurrency, timeout_s, min_instances and max_instances must be whole numbers."
  }
  validation {
    # https://cloud.google.com/run/docs/configuring/services/cpu
    condition = alltrue([
      for size in values(var.function_sizes) : size.cpu == null || contains(["1", "2", "4", "6", "8"], coalesce(size.cpu, "-")) || try(tonumber(size.cpu) >= 0.08 && tonumber(size.cpu) < 1, false)
    ])
    error_message = "cpu must be 1, 2, 4, 6, 8, or from 0.08 to less than 1."
  }
}

variable "queue_concurrency" {
  description = "Tasks of the queue that run at once; each may upload for many minutes. Must be below submit's concurrency, so that direct callers get in."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.queue_concurrency >= 1 && var.queue_concurrency <= 1000 && floor(var.queue_concurrency) == var.queue_concurrency
    error_message = "queue_concurrency must be a whole number from 1 to 1000."
  }
}

# Access ---------------------------------------------------------------------------------------------

variable "submit_callers" {
  description = "IAM members that may call submit beside the queue, such as user:ada@example.com. Without any, submit accepts internal traffic only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.submit_callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "submit_callers must be IAM members such as user:ada@example.com. allUsers and allAuthenticatedUsers are refused, because submit spends money."
  }
}

variable "submit_ingress" {
  description = "Ingress setting of submit. Default: ALLOW_ALL if there are submit_callers, who still need their IAM role; otherwise ALLOW_INTERNAL_ONLY."
  type        = string
  default     = null

  validation {
    condition     = var.submit_ingress == null || contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], coalesce(var.submit_ingress, "-"))
    error_message = "submit_ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "results_callers" {
  description = "IAM members that may read, rename and delete transcripts through results, such as group:editors@example.com. Without any, results accepts internal traffic only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.results_callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "results_callers must be IAM members such as user:ada@example.com. allUsers and allAuthenticatedUsers are refused, because transcripts hold real names."
  }
}

variable "results_ingress" {
  description = "Ingress setting of results. Default: ALLOW_ALL if there are results_callers, who still need their IAM role; otherwise ALLOW_INTERNAL_ONLY."
  type        = string
  default     = null

  validation {
    condition     = var.results_ingress == null || contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], coalesce(var.results_ingress, "-"))
    error_message = "results_ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "reader_callers" {
  description = "IAM members that may read transcripts through reader, and change nothing, such as group:readers@example.com. Without any, reader accepts internal traffic only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.reader_callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "reader_callers must be IAM members such as user:ada@example.com. allUsers and allAuthenticatedUsers are refused, because transcripts hold real names."
  }
}

variable "reader_ingress" {
  description = "Ingress setting of reader. Default: ALLOW_ALL if there are reader_callers, who still need their IAM role; otherwise ALLOW_INTERNAL_ONLY."
  type        = string
  default     = null

  validation {
    condition     = var.reader_ingress == null || contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], coalesce(var.reader_ingress, "-"))
    error_message = "reader_ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "redact_faces" {
  description = "Store no face data in the documents of tasks. The provider's own words, which are kept as raw blocks, stay as they are."
  type        = bool
  default     = false
  nullable    = false
}

variable "play_media" {
  description = "Let the pages play the recordings of the upload bucket, for everybody in results_callers and reader_callers, by signed URLs that are valid for 15 minutes. results and reader may then read the bucket, and sign as themselves."
  type        = bool
  default     = false
  nullable    = false
}

variable "uploaders" {
  description = "IAM members that may upload objects to the upload bucket."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.uploaders : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "uploaders must be IAM members such as user:ada@example.com. allUsers and allAuthenticatedUsers are refused, because every upload spends money."
  }
}

# Options --------------------------------------------------------------------------------------------

variable "deletion_protection" {
  description = "Protects the database and the uploaded objects from deletion by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "alert_email" {
  description = "E-mail address for alerts. Default: no alerts."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address."
  }
}

variable "docs_url" {
  description = "Address of the folder docs/ in your copy of this repository, which alerts link to. Default: alerts name the page only."
  type        = string
  default     = null

  validation {
    condition     = var.docs_url == null || can(regex("^https://[^\\s]+[^\\s/]$", var.docs_url))
    error_message = "docs_url must be an https:// address without a slash at its end."
  }
}

variable "static_ip" {
  description = "Whether submit and results call Mavi from one static IP address, which Mavi can allow. Needs a paid NAT gateway, and a new instance may need a minute until it is connected."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key" {
  description = "Cloud KMS key for buckets, topics, secrets and database. It has to be in the region, and set from the first deployment on. Default: Google's keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must have the form projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3] == var.region, true)
    error_message = "kms_key must be in the region, like everything that it encrypts."
  }
}
