-- Free text in which a patient's surname occurs: where to look before sharing
SELECT Path, count(*) AS elements, count(DISTINCT SOPInstanceUID) AS instances
FROM elements JOIN (SELECT StudyInstanceUID, lower(split_part(PatientName, '^', 1)) AS surname
  FROM studies) USING (StudyInstanceUID)
WHERE VR IN ('LO', 'LT', 'SH', 'ST', 'UT') AND length(surname) > 3
  AND contains(lower(Value), surname) GROUP BY Path ORDER BY elements DESC;
