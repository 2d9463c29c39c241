# One static IP address for requests to Mavi. Google's own APIs are reached without it. Google says that an
# instance may need a minute after its start until it is connected:
# https://cloud.google.com/run/docs/configuring/vpc-direct-vpc#limitations
resource "terraform_data" "network" {
  for_each = local.functions

  triggers_replace = var.static_ip && each.value.reaches_mavi
}

#
# Google refuses to delete a subnet in use. With create_before_destroy Terraform changes submit first and
# destroys the network afterwards:
# https://developer.hashicorp.com/terraform/language/meta-arguments/create_before_destroy
resource "google_compute_network" "egress" {
  count = var.static_ip ? 1 : 0

  project                 = var.project
  name                    = "${var.name}-egress"
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_subnetwork" "egress" {
  count = var.static_ip ? 1 : 0

  project                  = var.project
  region                   = var.region
  name                     = "${var.name}-egress"
  network                  = google_compute_network.egress[0].id
  ip_cidr_range            = "10.8.0.0/26"
  private_ip_google_access = true

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_address" "egress" {
  count = var.static_ip ? 1 : 0

  project = var.project
  region  = var.region
  name    = "${var.name}-egress"

  depends_on = [google_project_service.this]

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_router" "egress" {
  count = var.static_ip ? 1 : 0

  project = var.project
  region  = var.region
  name    = "${var.name}-egress"
  network = google_compute_network.egress[0].id

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_router_nat" "egress" {
  count = var.static_ip ? 1 : 0

  project                            = var.project
  region                             = var.region
  name                               = "${var.name}-egress"
  router                             = google_compute_router.egress[0].name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.egress[0].id]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.egress[0].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  lifecycle {
    create_before_destroy = true
  }
}
