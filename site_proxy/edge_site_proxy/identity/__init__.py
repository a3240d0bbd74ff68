"""Who a gateway is: the site's own CA, enrolment with one-time tokens, renewal, revocation."""
