select region, sum(amount) as revenue from {{ ref('orders') }} group by region
